"""Corkboard, a small API for the cards of a team, and how it tells Totango what teams do.

    export TOTANGO_SERVICE_ID=SP-1234-01 TOTANGO_ENDPOINT=http://127.0.0.1:8035/pixel.gif/
    uvicorn --app-dir examples/fastapi_app corkboard:app --port 8002

What is worth copying:

- `who` says once for all requests whose each is. It trusts the token that we have given out, and
  nothing else that a client may write into a header.
- An endpoint only says what happened: `tracked` where its status tells, `await totango.track(...)`
  where it does not, and `totango.sync` in a plain `def`.
- A background task keeps the identity of its request.
- The middleware opens the client with the app, and delivers before the app ends.
"""

import secrets
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from totango_sdk import Account, AsyncTotango, Identity, User
from totango_sdk.integrations.starlette import TotangoMiddleware, get_totango


@dataclass
class Team:
    """A customer, as our database has it."""

    id: str
    name: str
    plan: str
    cards: list[str] = field(default_factory=list)


@dataclass
class Member:
    """Somebody who has a token."""

    team: Team
    email: str


class SignUp(BaseModel):
    """What somebody tells who begins a team."""

    team: str
    name: str
    plan: str
    email: str


class Card(BaseModel):
    """A card for the board."""

    title: str


members: dict[str, Member] = {}  # by token; a database, in a real service
totango = AsyncTotango(module="Board")


def member_of(connection: HTTPConnection) -> Member | None:
    """Return whose token a request has."""
    return members.get(connection.headers.get("Authorization", "").removeprefix("Bearer "))


async def who(connection: HTTPConnection) -> Identity | None:
    """Say whose a request is. Asked only when something is tracked."""
    member = member_of(connection)
    if member is None:
        return None
    team = member.team
    account = Account(team.id, name=team.name, attributes={"Plan": team.plan})
    return Identity(account=account, user=User(member.email))


def signed_in(request: Request) -> Member:
    """Let only members in."""
    member = member_of(request)
    if member is None:
        raise HTTPException(401, "sign up first, and send the token as Authorization: Bearer")
    return member


Tracker = Annotated[AsyncTotango, Depends(get_totango)]
SignedIn = Annotated[Member, Depends(signed_in)]

app = FastAPI(title="Corkboard")
app.add_middleware(TotangoMiddleware, client=totango, identity=who)


@app.post("/teams", status_code=201)
async def sign_up(asked: SignUp, totango: Tracker) -> dict[str, str]:
    """Begin a team. This request has no token yet, so the call says itself whose it is."""
    token = secrets.token_urlsafe()
    members[token] = Member(Team(asked.team, asked.name, asked.plan), asked.email)
    account = Account(asked.team, name=asked.name, attributes={"Plan": asked.plan})
    await totango.track("Team created", account=account, user=asked.email)
    return {"token": token}


@app.post("/cards", status_code=201)
@totango.tracked("Card added")
async def add(card: Card, member: SignedIn, background: BackgroundTasks) -> Card:
    """Add a card, and look for others like it when the answer is out."""
    member.team.cards.append(card.title)
    background.add_task(find_twins, card.title, member.team)
    return card


async def find_twins(title: str, team: Team) -> None:
    """Run in the background, as whoever added the card."""
    if team.cards.count(title) > 1:
        await totango.track("Twin found")


@app.get("/cards")
def read(member: SignedIn, totango: Tracker) -> list[str]:
    """List the cards. A plain function runs in a thread, and so takes the plain client. An empty
    board is nothing that somebody has read.
    """
    if member.team.cards:
        totango.sync.track("Board read")
    return member.team.cards
