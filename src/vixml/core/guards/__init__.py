"""What stands between the project and files, servers and programs that nobody vouches for."""
