"""Routes whose annotations are strings, decorated by us, as a user's module has them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI
from pydantic import BaseModel

from soloflight import cached_singleflight, singleflight

app = FastAPI()
loads: list[str] = []


class User(BaseModel):
    id: int
    region: str


class Settings:
    def __init__(self, region: str) -> None:
        self.region = region


@cached_singleflight(ttl=60)
def settings(region: str = "eu") -> Settings:
    loads.append("settings")
    return Settings(region)


@cached_singleflight(ttl=60)
async def settings_async(region: str = "eu") -> Settings:
    loads.append("settings_async")
    return Settings(region)


@app.get("/depends/{user_id}")
def depends(user_id: int, found: Annotated[Settings, Depends(settings)]) -> User:
    return User(id=user_id, region=found.region)


@app.get("/depends_async/{user_id}")
async def depends_async(user_id: int, found: Annotated[Settings, Depends(settings_async)]) -> User:
    return User(id=user_id, region=found.region)


@app.get("/route/{user_id}")
@cached_singleflight(ttl=60)
def route(user_id: int, region: str = "eu") -> User:
    loads.append("route")
    return User(id=user_id, region=region)


@app.get("/route_async/{user_id}")
@cached_singleflight(ttl=60)
async def route_async(user_id: int, region: str = "eu") -> User:
    loads.append("route_async")
    return User(id=user_id, region=region)


@app.post("/body")
@singleflight(key=lambda user: user.id)
async def body(user: User) -> User:
    return user


class Repository:
    @cached_singleflight(ttl=60)
    def method(self, region: str = "eu") -> Settings:
        loads.append("method")
        return Settings(region)


repository = Repository()


@app.get("/method/{user_id}")
def method(user_id: int, found: Annotated[Settings, Depends(repository.method)]) -> User:
    return User(id=user_id, region=found.region)
