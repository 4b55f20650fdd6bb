"""What finance uses: the report, the digest, the month close and the FOCUS export."""
