"""What PostgreSQL's triggers record."""
