"""What joins the package to web servers, workers and migrations."""
