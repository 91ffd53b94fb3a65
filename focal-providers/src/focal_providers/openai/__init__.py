"""OpenAI: Responses, Chat Completions and embeddings, there and at compatible servers."""
