"""Tests of the template, in layers: each file says which one."""
