"""The server: the ASGI application and what stands around it."""
