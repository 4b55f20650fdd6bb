"""The mapping sheet: the spreadsheet in which finance maps API keys to people, teams and cost centers."""
