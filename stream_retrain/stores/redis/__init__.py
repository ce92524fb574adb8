"""The stores in Redis or Valkey, put together in `stores.redis.stores`. Importing that takes a fifth of a second."""
