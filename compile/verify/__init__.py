"""What is deployed is compared with what was trained."""
