"""What a host must not write: each line that ends in a name in brackets must be refused with that error."""

from __future__ import annotations

from totango_sdk import Account, AsyncTotango, Totango, User, check_id

Totango("SP-0000-00", acount="A")  # [call-arg]
Totango("SP-0000-00", strict="yes")  # [arg-type]
Totango("SP-0000-00", timeout="10")  # [arg-type]
Totango("SP-0000-00", account=5.5)  # [arg-type]
Totango(5)  # [arg-type]
Totango("SP-0000-00", "A")  # [call-arg]
client = Totango("SP-0000-00")
client.track()  # [call-arg]
client.track(5)  # [arg-type]
client.track("x", account=User("U"))  # [arg-type]
client.trak("x")  # [attr-defined]
client.bind("A")  # [call-arg]
client.set_user_attributes("A")  # [call-arg]
client.stats().accepted = 5  # [misc]
client.stats().lost  # [attr-defined]
Account()  # [call-arg]
Account("A", "Acme")  # [call-arg]
Account("A").name = "Acme"  # [misc]
check_id("person", "A")  # [arg-type]
with client.context(acount="A"):  # [call-arg]
    pass


async def main() -> None:
    totango = AsyncTotango("SP-0000-00")
    totango.track("x").upper()  # [attr-defined]
    with totango:  # [attr-defined]
        pass
