"""Import paths of the source documents; what is found here lives elsewhere."""
