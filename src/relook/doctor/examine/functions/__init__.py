"""Losses and updates as functions of anybody's, examined one by one."""
