"""The loop that trains one network: its batches, its losses and its averages."""
