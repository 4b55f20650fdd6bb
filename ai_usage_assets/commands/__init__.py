"""What the commands of `ai-usage` do, one module each; `cli` says which there are and what they take.

Belongs here: starting runs, looking, trying, showing on a terminal. Does not: the pipeline's own steps, or what finance
takes away (`finance`, `metabase`).
"""
