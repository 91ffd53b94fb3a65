"""Memory: episodes, entities, relationships and the searches over them."""
