"""What the server and the worker do, without HTTP: one loaded checkpoint, its durable tasks, and their settings."""
