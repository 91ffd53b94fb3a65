"""The in-memory reference: tables, indexes and the backend that hands out its stores."""
