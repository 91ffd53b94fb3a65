"""The provider ports: language models, embeddings, rerankers."""
