"""focal-testkit: the executable meaning of every focal port.

Subclass a contract, give it one method that opens an empty store, and pytest runs the whole contract:

    from focal_testkit.contracts.audit import AuditStoreContract

    class TestAcmeAudit(AuditStoreContract):
        def open_store(self, context):
            return opened(context)  # an async context manager that yields an EMPTY store
"""

CONTRACT_VERSION = "1.1"
"""The newest contract version this kit checks."""
