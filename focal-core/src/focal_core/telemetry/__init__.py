"""Telemetry: OpenTelemetry spans and metrics of what focal does."""
