// Before the first paint, so that no other theme flashes.
try {
	const theme = localStorage.getItem("theseus.theme");
	if (theme === "light" || theme === "dark") document.documentElement.style.colorScheme = theme;
} catch { /* storage is off */ }
