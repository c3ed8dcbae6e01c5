def post_request(worker, request, environ, response):
    """Track in the thread of a request that is over."""
    from totango_sdk.integrations.django import totango

    totango.track("outside")
