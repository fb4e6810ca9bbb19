# `cmake --install build/release --prefix DIR`: the program with the data it reads, manual pages and completions. An
# installed assay finds its data in ../share/assay beside its own folder (datasets/data_folders.cpp).
# `ci/package` makes the Debian packages and the tarball from the components below.
include(GNUInstallDirs)
set(ASSAY_PRIVATE_LIBS "${CMAKE_INSTALL_LIBDIR}/assay")  # only the tarball has files there
set_target_properties(assay PROPERTIES INSTALL_RPATH "$ORIGIN/../${ASSAY_PRIVATE_LIBS}")
install(TARGETS assay RUNTIME_DEPENDENCY_SET assay_libraries
  RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT program)
if(ASSAY_HAVE_MPI)
  install(TARGETS assay_rank RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT program)
endif()
if(TARGET assay_gui)
  set_target_properties(assay_gui PROPERTIES INSTALL_RPATH "$ORIGIN/../${ASSAY_PRIVATE_LIBS}")
  install(TARGETS assay_gui RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT gui)
  install(FILES gui/assay-gui.1 DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" COMPONENT gui)
  # Qt Charts is GPL-3: what that means for whoever passes the program on goes with it.
  install(FILES gui/copyright DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/assay-gui" COMPONENT gui)
endif()
install(DIRECTORY datasets suites DESTINATION "${CMAKE_INSTALL_DATADIR}/assay" COMPONENT program FILES_MATCHING
  PATTERN "*.toml" PATTERN "*.csv" PATTERN "*.csv.gz" PATTERN "*.db")
install(DIRECTORY docs/ DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT program FILES_MATCHING
  PATTERN "*.md" PATTERN "*.svg" PATTERN "*.png")
install(FILES README.md LICENSE NOTICE THIRD-PARTY.md CHANGELOG.md CITATION.cff DESTINATION "${CMAKE_INSTALL_DOCDIR}"
  COMPONENT program)

# What the program says of itself: manual pages and completions.
set(said "${CMAKE_BINARY_DIR}/manual")
add_custom_command(OUTPUT "${said}/stamp"
  COMMAND "${CMAKE_COMMAND}" -E rm -rf "${said}"
  COMMAND assay __manual "${said}/man1"
  COMMAND assay completion bash > "${said}/assay"
  COMMAND assay completion zsh > "${said}/_assay"
  COMMAND assay completion fish > "${said}/assay.fish"
  COMMAND "${CMAKE_COMMAND}" -E touch "${said}/stamp"
  DEPENDS assay COMMENT "Writing manual pages and completions" VERBATIM)
add_custom_target(assay_manual ALL DEPENDS "${said}/stamp")
install(DIRECTORY "${said}/man1" DESTINATION "${CMAKE_INSTALL_MANDIR}" COMPONENT program)
install(FILES "${said}/assay" DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions" COMPONENT program)
install(FILES "${said}/_assay" DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/site-functions" COMPONENT program)
install(FILES "${said}/assay.fish" DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d" COMPONENT program)

# The tarball carries the libraries that a plain Linux does not have. The C and C++ runtimes stay the system's: a second
# C++ runtime beside the one that CUDA or MPI libraries bring in would break both.
install(RUNTIME_DEPENDENCY_SET assay_libraries
  PRE_EXCLUDE_REGEXES "^ld-linux" "^lib(c|m|dl|rt|pthread|resolv|stdc\\+\\+|gcc_s)\\.so"
  POST_EXCLUDE_REGEXES "libOpenCL"
  LIBRARY DESTINATION "${ASSAY_PRIVATE_LIBS}" COMPONENT libraries EXCLUDE_FROM_ALL)

set(CPACK_PACKAGE_NAME assay)
set(CPACK_PACKAGE_VENDOR assay)
set(CPACK_PACKAGE_CONTACT "The assay contributors <assay@example.org>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "benchmarks and reproduces ML-systems techniques")
set(CPACK_PACKAGE_DESCRIPTION "Runs reference implementations of published techniques under one harness, checks each
against an independent oracle, keeps every number with its provenance, and judges the papers' published claims.")
set(CPACK_RESOURCE_FILE_LICENSE "${CMAKE_SOURCE_DIR}/LICENSE")
set(CPACK_PACKAGE_DIRECTORY "${CMAKE_BINARY_DIR}/packages")
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_PROJECT_CONFIG_FILE "${CMAKE_SOURCE_DIR}/cmake/package_kinds.cmake")
set(CPACK_COMPONENTS_ALL program)
if(TARGET assay_gui)
  list(APPEND CPACK_COMPONENTS_ALL gui)
endif()

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME assay)
set(CPACK_DEBIAN_PROGRAM_PACKAGE_RECOMMENDS openmpi-bin)
set(CPACK_DEBIAN_GUI_PACKAGE_NAME assay-gui)
set(CPACK_DEBIAN_GUI_PACKAGE_DEPENDS "assay (= ${PROJECT_VERSION})")
set(CPACK_COMPONENT_GUI_DESCRIPTION "Dashboard of assay: compares stored results, trends, timelines and verdicts.")
include(CPack)
