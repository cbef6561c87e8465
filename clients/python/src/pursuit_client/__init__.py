"""Client of Pursuit, an inference server for sparse dictionaries: numpy and torch in, scipy.sparse out."""

from .async_client import AsyncClient
from .client import Client
from .codes import Codes, Trace
from .errors import AccessDenied, Conflict, InvalidRequest, NotFound, PursuitError, Unavailable
from .types import Dictionary, Feature, FoundFeature, Steered, SteeringSet, Transferred

__version__ = "0.1.0"

__all__ = [
    "AccessDenied",
    "AsyncClient",
    "Client",
    "Codes",
    "Conflict",
    "Dictionary",
    "Feature",
    "FoundFeature",
    "InvalidRequest",
    "NotFound",
    "PursuitError",
    "Steered",
    "SteeringSet",
    "Trace",
    "Transferred",
    "Unavailable",
]
