"""The contracts of model providers: the rules every implementation keeps, and every fault of a server."""

from focal_testkit.contracts.providers.embedding import EmbeddingContract
from focal_testkit.contracts.providers.faults import EmbeddingFaultContract, FaultContract, WireContract
from focal_testkit.contracts.providers.llm import LLMContract
from focal_testkit.contracts.providers.rerank import RerankContract
from focal_testkit.contracts.providers.serving import Served, ServingContract
from focal_testkit.contracts.providers.wire_embedding import WireEmbeddingContract
from focal_testkit.contracts.providers.wire_llm import WireLLMContract

__all__ = [
    "EmbeddingContract",
    "EmbeddingFaultContract",
    "FaultContract",
    "LLMContract",
    "RerankContract",
    "Served",
    "ServingContract",
    "WireContract",
    "WireEmbeddingContract",
    "WireLLMContract",
]
