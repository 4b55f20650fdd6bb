"""The objects of Metabase that `ai-usage metabase apply` manages, one module per kind."""
