"""The nightly job: every step from the CRM to scores, alerts and models, until none has anything to do."""
