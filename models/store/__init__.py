"""The store port and its adapters. Imports the settings and below."""
