"""Bench on other machines over ssh: what is sent, what runs there, and the course of one and of several hosts."""
