# 'make help' lists the targets. What they do is in scripts/.

PREFIX ?= /usr/local
bindir = $(DESTDIR)$(PREFIX)/bin
unitdir = $(DESTDIR)$(PREFIX)/lib/systemd/system
sharedir = $(DESTDIR)$(PREFIX)/share
completions = $(sharedir)/bash-completion/completions/egrets \
	$(sharedir)/zsh/site-functions/_egrets $(sharedir)/fish/vendor_completions.d/egrets.fish
built = $(or $(CARGO_TARGET_DIR),target)/release/egrets

.PHONY: help run build test test-kernels naming coverage fuzz lint bench install uninstall vmlinux clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Install what is missing, build, record and print; needs sudo
	@scripts/setup.sh root build
	@scripts/cargo.sh build --release
	@scripts/run.sh

build: ## Build target/release/egrets
	@scripts/setup.sh build
	@scripts/cargo.sh build --release

test: ## Run every test; needs sudo
	@scripts/test.sh

test-kernels: ## Run the capture tests on other kernels, in virtual machines; needs sudo
	@scripts/kernels.sh

naming: ## Count how often names are right, here and on another kernel; needs sudo
	@SETS=kprobe scripts/measure.sh naming naming forged resolvers sources docker

fuzz: ## Fuzz what reads strangers' bytes, SECONDS_EACH=60 a target
	@scripts/fuzz.sh

# the tests that have rows of its table; a drip of three minutes
coverage: ## Measure the ways out, here and on another kernel; needs sudo
	@EGRETS_TEST_DRIP=180 scripts/measure.sh coverage \
		$$(grep -lw support::coverage tests/*.rs | xargs basename -as .rs)

lint: ## Check format and lints of the Rust, C and shell code
	@scripts/lint.sh

bench: ## Run the benchmarks; needs sudo
	@scripts/bench.sh

install: build ## Install egrets, its systemd unit, manual and completions below PREFIX=/usr/local
	install -D -m 755 $(built) $(bindir)/egrets
	mkdir -p $(unitdir)
	sed 's|@PREFIX@|$(PREFIX)|' systemd/egrets.service > $(unitdir)/egrets.service
	chmod 644 $(unitdir)/egrets.service
	$(built) man-pages $(sharedir)/man/man1
	chmod 644 $(sharedir)/man/man1/egrets*.1
	install -D -m 644 completions/egrets.bash $(sharedir)/bash-completion/completions/egrets
	install -D -m 644 completions/_egrets $(sharedir)/zsh/site-functions/_egrets
	install -D -m 644 completions/egrets.fish $(sharedir)/fish/vendor_completions.d/egrets.fish
	@echo "to record from now on: sudo systemctl daemon-reload && sudo systemctl enable --now egrets"

uninstall: ## Remove them; the history in /var/lib/egrets stays
	rm -f $(bindir)/egrets $(unitdir)/egrets.service $(completions) $(sharedir)/man/man1/egrets*.1

vmlinux: ## Write bpf/vmlinux.h anew from this kernel's BTF
	@scripts/setup.sh build vmlinux
	@scripts/vmlinux.sh

clean: ## Remove what was built
	rm -rf target
