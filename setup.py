"""Lets tools that look for setup.py find the package; everything is declared in setup.cfg."""

from setuptools import setup

setup()
