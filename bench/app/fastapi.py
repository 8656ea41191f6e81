# SPDX-License-Identifier: BSD-2-Clause
"""A model in, checked, and out."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel


class Item(BaseModel):
    name: str
    price: float
    tags: list[str] = []


async def take(item: Item) -> Item:
    return item


app = FastAPI()
app.add_api_route("/items", take, methods=["POST"])
