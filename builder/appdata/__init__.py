"""Appdata, as images carry it: XML from nobody knows whom, read, checked, and made safe to show."""
