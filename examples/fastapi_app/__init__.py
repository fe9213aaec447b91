"""A FastAPI service whose articles keep their history: `uvicorn --factory examples.fastapi_app:create_app`."""

from examples.fastapi_app.main import create_app

__all__ = ["create_app"]
