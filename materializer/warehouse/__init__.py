"""The warehouse: what dbt built, read only, and whether the gate lets it out."""
