import asyncio

from asgiref.sync import sync_to_async

from totango_sdk import Identity

asked = []


def who(request):
    asked.append(request)
    if account := request.headers.get("X-Account"):
        return Identity(account=account, user=f"{account}@x.com")
    if request.user.is_authenticated:
        return Identity(account=request.user.username, user=request.user.email)
    return None


async def who_later(request):
    asked.append(request)
    await asyncio.sleep(0)
    if account := request.headers.get("X-Account"):
        return Identity(account=account, user=f"{account}@x.com")
    user = await sync_to_async(_user)(request)
    return Identity(account=user.username, user=user.email) if user.is_authenticated else None


def nonce(request):
    return f"nonce{len(request.path)}"


def _user(request):
    """Have the user read; Django 4.2 has no `auser`."""
    assert request.user.is_authenticated in (True, False)
    return request.user
