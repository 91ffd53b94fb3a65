"""The bundled agent and conversations, and the replay that runs them."""
