"""What runs on, or is known about, a device: profiles, detection, running a bundle, measuring it. Imports no torch."""
