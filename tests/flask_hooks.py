def post_request(worker, request, environ, response):
    """Track in the thread or greenlet of a request that is over."""
    import flask_site

    flask_site.totango.client.track("outside")
