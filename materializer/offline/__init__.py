"""The offline store: Iceberg tables, one per feature group, that every reader outside dbt uses."""
