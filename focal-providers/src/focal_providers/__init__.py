"""focal-providers: Anthropic and OpenAI behind the provider ports of focal, with one error tree and one retry loop.

This version registers no backend yet; see the README.
"""
