"""The configuration of one proxy: bootstrap, listeners, routes and clusters, as documents by file name.

    bootstrap.json   who it is, its admin socket, what of that anybody may read, and where the rest is
    lds.json         listeners: `inbound`, `outbound`, and `url/SERVICE` for each upstream service
    rds.json         routes to the upstream services and their endpoints: what of policies routes have
    cds.json         clusters: one for each upstream service and each of its versions
    eds-*.json       the endpoints of each of them: who comes or goes is one small file
    inbound.json     where there are access rules, the route of the inbound listener, which carries them
    sds-*.json       where there is mTLS, certificate with key, and roots (`tls`)

What is pushed later is made by the same functions from another scenario. Clusters are there for every version
from the start: a push of a split then finds them, connected and with their ejections. But where clusters and
routes travel apart (`mesh.control_plane.ordered: false`), there are those that routes have named.

All listeners to upstreams share one route configuration, so that a rate limit has one bucket whichever way a
call takes. It looks for the service in a header that each listener sets before: to the Host, or to the one
service that it is for. (One file, also because Envoy needs an inotify instance for each, and Linux grants a
user 128 of them.) The inbound listener has no policies: they are the callers'.

Envoy's admin interface obeys anybody who reaches it, so it is a socket in Envoy's own folder. A listener
lets anybody read readiness and statistics, as Istio's does; under a name of no domain (`ports.NO_DOMAIN`).

Source: envoyproxy/envoy, api/envoy/config (bootstrap/v3, listener/v3) and the HTTP connection manager's API.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from meshsim.live import Address
from meshsim.live.envoy import access, tls, tracing
from meshsim.live.envoy.accesslog import FIELDS, TRY_FIELDS, logger
from meshsim.live.envoy.numbers import Json, duration
from meshsim.live.envoy.policy import (
    FAULT,
    FAULT_TYPE,
    RATE_LIMIT,
    RATE_LIMIT_TYPE,
    TYPE,
    cluster_name,
    page,
    rate_limit,
    route_name,
)
from meshsim.live.envoy.policy import cluster as cluster_of
from meshsim.live.envoy.policy import route as route_of
from meshsim.live.envoy.proxy import INBOUND, OUTBOUND, URL, Proxy
from meshsim.live.ports import NO_DOMAIN
from meshsim.scenario.model import Policy
from meshsim.scenario.names import file_name

ADMIN = "admin"
ROUTES = "routes"
INWARD = "inbound.json"
SERVICE_HEADER = "x-meshsim-upstream"
"""Where a request goes, between its listener and its route; not sent on."""
APP = "(app)"
"""The cluster of the proxy's own application; no service can have this name."""
ADMIN_SOCKET, PAGES = "admin.sock", ("/ready", "/stats", "/stats/prometheus")
"""Envoy's admin interface, and what of it may be read by all who reach the admin listener."""

CALLS, TRIES, EJECTIONS = "access.log", "tries.log", "ejections.log"
"""What an Envoy writes down."""

CLUSTER_OF = "^cluster\\.{0}(/[^.]*)?\\."
"""A pattern for the statistics of a service's clusters."""

HTTP = TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ASSIGNMENT = TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
ROUTER = TYPE + "envoy.extensions.filters.http.router.v3.Router"
UUID = TYPE + "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
HEADER_MUTATION = TYPE + "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"


def bootstrap(proxy: Proxy, folder: Path) -> Json:
    """What Envoy starts with: everything else is in files beside it, which it watches."""
    receiver = proxy.receiver
    traced = {} if receiver is None else {"layered_runtime": tracing.runtime()}
    clusters = [admin_cluster()] if receiver is None else [admin_cluster(), tracing.cluster(receiver)]
    return {
        **traced,
        "node": {"id": proxy.id, "cluster": proxy.caller},
        "admin": {"address": admin_socket()},
        "static_resources": {"listeners": [admin_listener(proxy)], "clusters": clusters},
        "cluster_manager": {"outlier_detection": {"event_log_path": str(folder / EJECTIONS)}},
        "dynamic_resources": {
            "lds_config": config_source(folder, "lds.json"),
            "cds_config": config_source(folder, "cds.json"),
        },
    }


def admin_socket() -> Json:
    """Where Envoy's admin interface is, relative to where it runs; for this user alone."""
    return {"pipe": {"path": ADMIN_SOCKET, "mode": 0o600}}


def admin_cluster() -> Json:
    """The admin interface as an upstream."""
    endpoint = {"endpoint": {"address": admin_socket()}}
    load = {"cluster_name": ADMIN, "endpoints": [{"lb_endpoints": [endpoint]}]}
    return {"name": ADMIN, "type": "STATIC", "load_assignment": load}


def admin_listener(proxy: Proxy) -> Json:
    """Lets readiness and statistics be read, and nothing else."""
    asked = [
        {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}},
        {"name": ":authority", "string_match": {"safe_regex": {"regex": NO_DOMAIN}}},
    ]
    routes = [{"match": {"path": page, "headers": asked}, "route": {"cluster": ADMIN}} for page in PAGES]
    config = {
        "@type": HTTP,
        "stat_prefix": ADMIN,
        "codec_type": "HTTP1",
        "route_config": {"virtual_hosts": [{"name": ADMIN, "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
    }
    manager = {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}
    address = socket_address((proxy.host, 0))
    return {"name": ADMIN, "address": address, "filter_chains": [{"filters": [manager]}]}


def listeners(proxy: Proxy, folder: Path, ports: Mapping[str, int]) -> list[Json]:
    """The listeners, on the ports they have already or, where they have none, on free ones."""
    found = []
    for name in proxy.listeners:
        mode = proxy.scenario.mode(proxy.caller) if name == INBOUND else None
        listener = {
            "@type": TYPE + "envoy.config.listener.v3.Listener",
            "name": name,
            "stat_prefix": name,
            "traffic_direction": "INBOUND" if name == INBOUND else "OUTBOUND",
            "address": socket_address((proxy.host, ports.get(name, 0))),
            "filter_chains": tls.filter_chains(mode, [connection_manager(proxy, name, folder)], folder),
        }
        found.append(listener if mode is None else {**listener, "listener_filters": tls.listener_filters()})
    return found


def connection_manager(proxy: Proxy, listener: str, folder: Path) -> Json:
    """HTTP on one listener: what it leaves alone, its filters, and where its routes are."""
    router: Json = {"@type": ROUTER}
    config: Json = {
        "@type": HTTP,
        "stat_prefix": listener,
        "codec_type": "HTTP1",
        "server_header_transformation": "PASS_THROUGH",
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "request_id_extension": {"typed_config": {"@type": UUID, "pack_trace_reason": False}},
        "access_log": [logger({"listener": listener, **FIELDS}, folder / CALLS, proxy.context)],
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    if proxy.receiver is not None:
        config["tracing"] = tracing.config(proxy, proxy.receiver, tries=listener != INBOUND)
    if listener == INBOUND:
        if proxy.ruled:
            config["rds"] = {"route_config_name": INBOUND, "config_source": config_source(folder, INWARD)}
            config["http_filters"] = [*access.filters(), *config["http_filters"]]
            config |= access.NORMALISED
        else:
            config["route_config"] = inward(proxy)
        config |= idle_ends(proxy.keep_alive)
    else:
        router["upstream_log"] = [logger(TRY_FIELDS, folder / TRIES, proxy.context)]
        config["rds"] = {"route_config_name": ROUTES, "config_source": config_source(folder, "rds.json")}
        config["early_header_mutation_extensions"] = [written_early(headers_of(proxy, listener))]
        config["http_filters"] = [
            {"name": FAULT, "typed_config": {"@type": FAULT_TYPE}},
            {"name": RATE_LIMIT, "typed_config": {"@type": RATE_LIMIT_TYPE, "stat_prefix": listener}},
            *config["http_filters"],
        ]
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def inward(proxy: Proxy) -> Json:
    """The routes of the inbound listener: all goes to the application, but for what its access rules deny."""
    route: Json = {"name": INBOUND, "match": {"prefix": "/"}, "route": {"cluster": APP, "timeout": "0s"}}
    rules = access.per_route(proxy.scenario, proxy.caller)
    if rules:
        route["typed_per_filter_config"] = rules
    hosts = [{"name": INBOUND, "domains": ["*"], "routes": [route]}]
    config: Json = {"name": INBOUND, "virtual_hosts": hosts, "validate_clusters": False}
    if proxy.program:
        config["request_headers_to_remove"] = [proxy.context]
    return config


def idle_ends(keep_alive: float) -> Json:
    """What ends a connection from downstream that has been idle for so long, s, at once.

    NOTE: left to itself, Envoy drains it for 5 s first, and for 1 s more it is deaf before it closes.
    """
    if keep_alive == 0.0:
        return {}
    idle = {"idle_timeout": duration(keep_alive)}
    return {"common_http_protocol_options": idle, "drain_timeout": "0s", "delayed_close_timeout": "0s"}


def headers_of(proxy: Proxy, listener: str) -> dict[str, str]:
    """What a listener to upstreams writes: the service to route to, and the number of a program's call.

    An Envoy can't know which request that is made for; by the number at least the call's tries are found.
    NOTE: a `%STREAM_ID%` is the `x-request-id`, which a program passes on with every one of its calls.
    """
    service = "%REQ(:AUTHORITY)%" if listener == OUTBOUND else listener.removeprefix(URL)
    number = {proxy.context: "%UNIQUE_ID%"} if proxy.program else {}
    return {SERVICE_HEADER: service, **number}


def written_early(headers: Mapping[str, str]) -> Json:
    """What sets headers before a route is looked for."""
    mutations = [
        {"append": {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
        for key, value in headers.items()
    ]
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {"@type": HEADER_MUTATION, "mutations": mutations},
    }


def routes(proxy: Proxy) -> Json:
    """The routes to all upstream services, each with the policy that this caller applies."""
    return {
        "@type": TYPE + "envoy.config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "vhost_header": SERVICE_HEADER,
        "ignore_port_in_host_matching": True,
        "request_headers_to_remove": [SERVICE_HEADER],
        "virtual_hosts": [virtual_host(proxy, service) for service in proxy.upstreams],
    }


def spoiled(proxy: Proxy) -> Json:
    """The routes, with one that every Envoy refuses: its regular expression is none."""
    wrong = {"match": {"safe_regex": {"regex": "("}}, "route": {"cluster": APP}}
    found = routes(proxy)
    found["virtual_hosts"].append({"name": APP, "domains": [APP], "routes": [wrong]})
    return found


def virtual_host(proxy: Proxy, service: str) -> Json:
    """The routes to a service, that for whatever else is asked for last; they share its rate limit."""
    limit = proxy.scenario.policy(proxy.caller, service).rate_limit
    return {
        "name": service,
        "domains": [service],
        "include_request_attempt_count": True,
        "routes": [endpoint_route(proxy, service, endpoint) for endpoint in proxy.endpoints(service)],
        "typed_per_filter_config": {} if limit is None else rate_limit(limit, service),
    }


def endpoint_route(proxy: Proxy, service: str, endpoint: str) -> Json:
    """The route to an endpoint, or to the service itself."""
    scenario, caller = proxy.scenario, proxy.caller
    policy = scenario.policy(caller, service, endpoint)
    if not endpoint:
        return route_of(policy, service)
    found = route_of(policy, service, endpoint, page(*scenario.services[service].address(endpoint)))
    if scenario.limits_itself(caller, service, endpoint):
        found["typed_per_filter_config"] |= rate_limit(policy.rate_limit, route_name(service, endpoint))
    return found


def clusters(proxy: Proxy, folder: Path, app: Address | None) -> list[Json]:
    """The clusters, whose endpoints are in files of their own; but that of the application has one."""
    found = []
    if app is not None:
        assignment = {"type": "STATIC", "load_assignment": load_assignment(APP, [app])}
        found.append(cluster(APP, {**assignment, **cluster_of(Policy())}))
    for service in proxy.upstreams:
        policy = cluster_of(proxy.scenario.policy(proxy.caller, service))
        if proxy.scenario.secures(proxy.caller, service):
            policy["transport_socket"] = tls.upstream(service, folder)
        for name in (cluster_name(service, version) for version in proxy.versions(service)):
            source = {"eds_config": config_source(folder, endpoints_file(name))}
            found.append(cluster(name, {"type": "EDS", "eds_cluster_config": source, **policy}))
    return found


def cluster(name: str, config: Json) -> Json:
    """A cluster of HTTP/1.1 hosts."""
    return {"@type": TYPE + "envoy.config.cluster.v3.Cluster", "name": name, **config}


def endpoints(proxy: Proxy, addresses: Mapping[str, Address]) -> dict[str, list[Json]]:
    """The files of who the endpoints of its clusters are, given where they are, by id."""
    found = {}
    for service in proxy.upstreams:
        for version in proxy.versions(service):
            start = cluster_name(service, version) + "/"
            hosts = [address for id_, address in addresses.items() if id_.startswith(start)]
            name = cluster_name(service, version)
            found[endpoints_file(name)] = [{"@type": ASSIGNMENT, **load_assignment(name, hosts)}]
    return found


def load_assignment(name: str, hosts: Sequence[Address]) -> Json:
    """The hosts of a cluster."""
    some = [{"endpoint": {"address": socket_address(host)}} for host in hosts]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": some}]}


def endpoints_file(cluster: str) -> str:
    """Where the endpoints of a cluster are."""
    return f"eds-{file_name(cluster.replace('/', '..'))}.json"


def socket_address(address: Address) -> Json:
    """A TCP address; port 0 asks for a free one."""
    return {"socket_address": {"address": address[0], "port_value": address[1]}}


def config_source(folder: Path, file: str) -> Json:
    """A file that Envoy reads, and reads again when another is moved over it."""
    return {"path_config_source": {"path": str(folder / file)}, "resource_api_version": "V3"}


def documents(
    proxy: Proxy,
    folder: Path,
    *,
    ports: Mapping[str, int] | None = None,
    addresses: Mapping[str, Address] | None = None,
    app: Address | None = None,
    knows: Proxy | None = None,
) -> dict[str, list[Json]]:
    """The resources of every dynamic file by name, in the order of writing; `ports` are those bound already.

    There are no clusters until `addresses` of the endpoints are known, by id. Clusters are those that the
    proxy `knows`, where it is not the same of which routes are.
    """
    knows = knows or proxy
    found: dict[str, list[Json]] = {} if addresses is None else endpoints(knows, addresses)
    found["cds.json"] = [] if addresses is None else clusters(knows, folder, app)
    found["rds.json"] = [routes(proxy)]
    if proxy.ruled and INBOUND in proxy.listeners:
        found[INWARD] = [{"@type": TYPE + "envoy.config.route.v3.RouteConfiguration", **inward(proxy)}]
    return {**found, "lds.json": listeners(proxy, folder, ports or {})}
