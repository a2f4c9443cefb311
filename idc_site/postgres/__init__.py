"""Django's PostgreSQL backend, with less to ask for at each request."""
