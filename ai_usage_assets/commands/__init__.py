"""The commands of `ai-usage`, one module each; `cli` puts them into one tree."""
