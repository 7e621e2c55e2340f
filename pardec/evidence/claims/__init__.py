"""What others have claimed, and what this project's measurements say of it."""
