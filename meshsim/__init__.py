"""meshsim: what will this service mesh do, and how do you know?"""

__version__ = "0.1.0"
