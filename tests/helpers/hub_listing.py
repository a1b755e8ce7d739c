"""The Hub's listing of models for the tests' server: importing this adds it.

GET /api/models?filter={tag}[&limit=…][&cursor=…]
"""

from hub_server import Answer, HubServer, Repo
from hub_server.server import Request, route
from hub_server.store import front_matter

PAGE = 3  # models an answer, few enough for tests to need several
NEVER = "2026-01-01T00:00:00.000Z"


@route("GET", "/api/models")
def list_models(hub: HubServer, request: Request) -> Answer:
    """Public models that carry the tag, by name, page after page; a card that cannot be read gives no tags."""
    found = []
    for repo in (hub.repos[name] for name in sorted(hub.repos)):
        entry = _entry(repo)
        if not repo.private and request.query.get("filter") in entry["tags"]:
            found.append(entry)
    start = int(request.query.get("cursor", 0))
    more = start + PAGE < len(found)
    link = f'<{hub.endpoint}/api/models?filter={request.query["filter"]}&cursor={start + PAGE}>; rel="next"'
    return Answer(200, found[start : start + PAGE], {"Link": link} if more else {})


def _entry(repo: Repo) -> dict:
    card = front_matter(repo.commits[-1].files.get("README.md", b"").decode()) or {}
    about = {"id": repo.id, "modelId": repo.id, "private": repo.private, "downloads": 0, "likes": 0}
    return about | {"lastModified": NEVER, "createdAt": NEVER, "tags": card.get("tags", []), "cardData": card}
