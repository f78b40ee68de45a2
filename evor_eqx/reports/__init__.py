"""Notebooks run headlessly, figures with the numbers that they show, and the course as web pages."""
