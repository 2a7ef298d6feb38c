"""The clients of a Redis tier: like the one that was given, with timeouts and retries of ours."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

_OURS = {
    "retry", "retry_on_error", "retry_on_timeout", "cluster_error_retry_attempts",
    "health_check_interval", "single_connection_client", "decode_responses", "protocol",
    "parser_class", "connection_class", "connection_pool", "cache", "cache_config",
    "event_dispatcher", "himport_registry", "response_callbacks", "maint_notifications_config",
    "maint_notifications_pool_handler", "maint_notifications_cluster_handler",
    "orig_host_address", "orig_socket_timeout", "orig_socket_connect_timeout",
    "redis_connect_func", "host", "port", "path", "startup_nodes", "nodes",
}  # fmt: skip
"""Settings that are not taken over as they are: ours, or of one client, or of one kind of them."""

_PLACE = frozenset({"host", "port", "path"})
_SECRETS = frozenset({"password", "ssl_password"})


def _library() -> Any:
    try:
        import redis
        import redis.asyncio
        import redis.asyncio.cluster
        import redis.asyncio.connection
        import redis.asyncio.sentinel
        import redis.sentinel
    except ImportError:
        raise ImportError(
            "RedisTier needs redis-py, which is not installed: install soloflight[redis]"
        ) from None
    return redis


class Clients:
    """Makes clients for threads, and for event loops.

    `timeout` seconds pass until a connection or an answer is given up. A connection that broke is
    tried once more, as the server may have been restarted; what timed out is not.
    """

    def __init__(self, given: Any, timeout: float) -> None:
        self.redis = _library()
        self._given, self._timeout = given, timeout
        nodes = getattr(given, "nodes_manager", None)
        pool = getattr(given, "connection_pool", None)
        self.is_cluster = nodes is not None
        self._sentinel: Any = getattr(pool, "sentinel_manager", None)
        if nodes is not None:
            self._settings = dict(getattr(given, "connection_kwargs", None) or vars(nodes).get(
                "connection_kwargs", {}
            ))  # fmt: skip
            self._nodes = [(node.host, node.port) for node in nodes.startup_nodes.values()]
        elif pool is not None and hasattr(pool, "connection_kwargs"):
            self._settings = dict(pool.connection_kwargs)
        else:
            raise TypeError(f"a client of redis-py is needed, not a {type(given).__name__}")

    @classmethod
    def of_url(cls, url: str, timeout: float) -> Clients:
        redis = _library()
        try:
            given = redis.Redis.from_url(url)
        except (ValueError, AttributeError, TypeError):
            # What redis-py says may have a part of the password in it.
            raise ValueError(
                "this is no URL of a Redis: redis://[[user]:password@]host[:port][/db], or "
                "rediss://, or unix://"
            ) from None
        return cls(given, timeout)

    def __str__(self) -> str:
        """Where that is. Nobody's password."""
        settings = self._settings
        if self.is_cluster:
            return "redis cluster at " + ",".join(f"{host}:{port}" for host, port in self._nodes)
        if self._sentinel is not None:
            return f"redis of sentinel {self._given.connection_pool.service_name!r}"
        if "path" in settings:
            return f"unix://{settings['path']}"
        host, port = settings.get("host", "localhost"), settings.get("port", 6379)
        return f"redis://{host}:{port}/{settings.get('db') or 0}"

    def without_secrets(self, text: str) -> str:
        for name in _SECRETS:
            secret = self._settings.get(name)
            if secret:
                text = text.replace(str(secret), "***")
        return text

    def _kept(self, retry: Any) -> dict[str, Any]:
        redis = self.redis
        kept = {name: value for name, value in self._settings.items() if name not in _OURS}
        return kept | {
            "socket_timeout": self._timeout,
            "socket_connect_timeout": self._timeout,
            "decode_responses": False,
            "protocol": 2,
            "retry": retry(redis.backoff.NoBackoff(), 1, (redis.ConnectionError,)),
        }

    def for_threads(self) -> Any:
        """One that any number of threads may use."""
        redis = self.redis
        kept = self._kept(redis.retry.Retry)
        if self.is_cluster:
            return self._cluster(redis.cluster, kept)
        if self._sentinel is not None:
            return redis.Redis(connection_pool=self._of_sentinel(redis.sentinel, kept))
        return redis.Redis(connection_pool=self._pool(redis.connection, kept))

    def for_loop(self) -> Any:
        """One for the event loop that runs in this thread."""
        redis = self.redis
        kept = self._kept(redis.asyncio.retry.Retry)
        if self.is_cluster:
            return self._cluster(redis.asyncio.cluster, kept)
        if self._sentinel is not None:
            pool = self._of_sentinel(redis.asyncio.sentinel, kept)
        else:
            pool = self._pool(redis.asyncio.connection, kept)
        return redis.asyncio.Redis(connection_pool=pool)

    def hang_up(self, client: Any, in_use: bool = False) -> None:
        """End the connections of a client for threads; those alone that wait, or all."""
        if self.is_cluster:
            client.disconnect_connection_pools()
        else:
            client.connection_pool.disconnect(inuse_connections=in_use)

    async def hang_up_on_loop(self, client: Any, in_use: bool = False) -> None:
        """End those of a client for an event loop."""
        if not self.is_cluster:
            await client.connection_pool.disconnect(inuse_connections=in_use)
        elif hasattr(client, "aclose"):
            await client.aclose()
        else:
            await client.close()  # redis-py 5.0

    def subscription(self, client: Any) -> Any:
        """A connection to a server that has all news, for `push`."""
        if self.is_cluster:
            client = client.get_redis_connection(client.get_random_node())
        return client.connection_pool.make_connection()

    def _pool(self, module: Any, kept: Mapping[str, Any]) -> Any:
        given = self._given.connection_pool.connection_class
        place = {name: self._settings[name] for name in _PLACE if name in self._settings}
        return module.ConnectionPool(
            connection_class=_class_in(module, given), max_connections=2**31, **place, **kept
        )

    def _of_sentinel(self, module: Any, kept: dict[str, Any]) -> Any:
        manager, pool = self._sentinel, self._given.connection_pool
        timeouts = dict.fromkeys(("socket_timeout", "socket_connect_timeout"), self._timeout)
        of_sentinels = {
            name: value for name, value in manager.sentinel_kwargs.items() if name not in _OURS
        }
        addresses = [
            (settings["host"], settings["port"])
            for settings in (one.connection_pool.connection_kwargs for one in manager.sentinels)
        ]
        sentinel = module.Sentinel(
            addresses, manager.min_other_sentinels, sentinel_kwargs=of_sentinels | timeouts
        )
        return module.SentinelConnectionPool(
            pool.service_name,
            sentinel,
            connection_class=_class_in(module, pool.connection_class),
            check_connection=pool.check_connection,
            max_connections=2**31,
            **kept,
        )

    def _cluster(self, module: Any, kept: dict[str, Any]) -> Any:
        takes = signature(module.RedisCluster.__init__).parameters
        if int(self.redis.__version__.partition(".")[0]) < 6:
            del kept["retry"]  # there it is for each node
            kept["cluster_error_retry_attempts"] = 1
        if not any(one.kind is one.VAR_KEYWORD for one in takes.values()):
            kept = {name: value for name, value in kept.items() if name in takes}
        nodes = [module.ClusterNode(host, port) for host, port in self._nodes]
        return module.RedisCluster(startup_nodes=nodes, **kept)


def _class_in(module: Any, given: type) -> type:
    """The class of connections of this kind, for threads or for event loops."""
    for base in given.__mro__:
        found = getattr(module, base.__name__, None)
        if found is base:
            return given  # one of the user's too, if it is for these
        if isinstance(found, type) and base.__module__.startswith("redis."):
            return found
    return module.Connection  # type: ignore[no-any-return]
