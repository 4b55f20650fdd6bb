"""`ai-usage doctor`: tests every credential, endpoint, sheet tab and permission, and changes nothing."""
