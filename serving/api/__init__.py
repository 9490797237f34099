"""What programs call over HTTP."""
