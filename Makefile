# 'make help' lists the targets. What they do is in scripts/.

PREFIX ?= /usr/local
bindir = $(DESTDIR)$(PREFIX)/bin
confdir = $(DESTDIR)/etc/egrets
unitdir = $(DESTDIR)$(PREFIX)/lib/systemd/system
sharedir = $(DESTDIR)$(PREFIX)/share
completions = $(sharedir)/bash-completion/completions/egrets \
	$(sharedir)/zsh/site-functions/_egrets $(sharedir)/fish/vendor_completions.d/egrets.fish
built = $(or $(CARGO_TARGET_DIR),target)/release/egrets

.PHONY: help run build static deb rpm tarball image release book kubernetes dev test test-packages test-engines reader test-kernels test-arm64 test-all-kernels tables naming coverage security fuzz \
	lint bench bench-peers bench-fleet install uninstall vmlinux clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9 -]+:.*## /{printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Install what is missing, build, record and print; needs sudo
	@scripts/setup.sh root build
	@scripts/cargo.sh build --release
	@scripts/run.sh

build: ## Build target/release/egrets
	@scripts/setup.sh build
	@scripts/cargo.sh build --release

static: ## Build target/static/egrets, one file for any distribution
	@scripts/static.sh

deb: ## Build a Debian package of it, in target/packages
	@scripts/deb.sh

rpm: ## Build an RPM package of it there, for Fedora, RHEL and openSUSE
	@scripts/rpm.sh

tarball: ## Build an archive of it there, and the PKGBUILD for Arch Linux
	@scripts/tarball.sh

image: ## Build a container image of it there
	@scripts/image.sh

release: ## Make and try all files of a release, VERSION=0.1.0, in target/release-VERSION
	@scripts/release.sh

book: ## Make a site of the documentation, in target/book, and check its links
	@scripts/book.sh

kubernetes: ## Check the chart for Kubernetes, and render it
	@scripts/kubernetes.sh

dev: ## Build, run the unit tests, and query a made-up history; without root
	@scripts/dev.sh

test: ## Run every test; needs sudo
	@scripts/test.sh

test-packages: $(if $(RELEASE),,deb rpm tarball image) ## Install, upgrade, remove and purge the packages in fresh systems; RELEASE=target/release-0.1.0 has them; needs sudo
	@scripts/packages.sh $(RELEASE)

reader: ## Build and test what reads a history, without the recorder and without root
	@scripts/reader.sh

test-engines: ## Compare the answers of ClickHouse and Spark over a dataset with those of the history, and ship to Azure's emulator
	@scripts/engines.sh

test-kernels: ## Test each promise on other kernels, in virtual machines; needs sudo
	@scripts/kernels.sh

test-arm64: ## Test the promises on an arm64 machine, emulated; needs sudo
	@ARCH=arm64 scripts/kernels.sh

test-all-kernels: ## Run all tests of capture there; needs sudo, and most of an hour
	@scripts/kernels.sh all

tables: ## Write the tables of docs/naming.md, coverage.md and security.md from the last tests
	@scripts/tables.sh

naming coverage security: ## Write the table of that page alone
	@scripts/tables.sh $@

fuzz: ## Fuzz the parsers of untrusted input, SECONDS_EACH=60 a target
	@scripts/fuzz.sh

lint: ## Check format and lints of the Rust, C and shell code
	@scripts/lint.sh

bench: ## Run the benchmarks; needs sudo
	@scripts/bench.sh

bench-peers: ## Compare the cost with that of tcpconnect by libbpf-tools, bcc and bpftrace; needs sudo
	@scripts/kernels.sh peers

bench-fleet: ## Time questions to a dataset of a billion connections, by DuckDB, ClickHouse and Spark
	@scripts/bench-fleet.sh

install: build ## Install egrets, its systemd units, manual and completions below PREFIX=/usr/local; /etc/egrets/egrets.toml unless it is there
	install -D -m 755 $(built) $(bindir)/egrets
	mkdir -p $(unitdir)
	for unit in egrets egrets-serve egrets-ship; do \
		sed 's|@PREFIX@|$(PREFIX)|' systemd/$$unit.service > $(unitdir)/$$unit.service && \
		chmod 644 $(unitdir)/$$unit.service || exit; done
	$(built) man-pages $(sharedir)/man/man1
	chmod 644 $(sharedir)/man/man1/egrets*.1
	install -D -m 644 completions/egrets.bash $(sharedir)/bash-completion/completions/egrets
	install -D -m 644 completions/_egrets $(sharedir)/zsh/site-functions/_egrets
	install -D -m 644 completions/egrets.fish $(sharedir)/fish/vendor_completions.d/egrets.fish
	mkdir -p $(confdir)/conf.d
	[ -e $(confdir)/egrets.toml ] || install -m 644 contrib/egrets.toml $(confdir)/egrets.toml
	@echo "to record from now on: sudo systemctl daemon-reload && sudo systemctl enable --now egrets"

uninstall: ## Remove them; the history in /var/lib/egrets and the options in /etc/egrets stay
	rm -f $(bindir)/egrets $(unitdir)/egrets.service $(unitdir)/egrets-serve.service $(unitdir)/egrets-ship.service $(completions) $(sharedir)/man/man1/egrets*.1

vmlinux: ## Write bpf/vmlinux.h anew from this kernel's BTF
	@scripts/setup.sh build vmlinux
	@scripts/vmlinux.sh

clean: ## Remove what was built
	rm -rf target
