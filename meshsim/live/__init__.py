"""The mesh run for real on this machine: sidecars, services, load generator, and who starts them.

Every part is a process of its own. They decide with the very classes that the engines run (`meshsim.mesh`,
`meshsim.policies`); this package gives them a clock, a transport and processes to live in. `wire` is HTTP/1.1
and knows nothing of the mesh.
"""

from typing import Any

Address = tuple[str, int]
"""Host and port."""
Message = dict[str, Any]
"""What launcher and processes say to each other: a line of JSON."""
